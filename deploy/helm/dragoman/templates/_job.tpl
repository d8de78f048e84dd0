{{/*
A Job that has to succeed before the components of a version start: call it with (dict "root" $ "name" "migrate"
"weight" "-5" "command" "dragoman migrate" "files" <settings and the keys in its Secret>).

With servers of the operator's own it is a hook. In development mode these come up with the release itself, so that a
hook would wait for them in vain: there it is an ordinary Job, which tries until the server is up; components wait.
*/}}
{{- define "dragoman.job" -}}
{{- $isHook := not .root.Values.development.enabled -}}
{{- $fullname := printf "%s-%s" (include "dragoman.fullname" .root) .name -}}
{{- $hook := dict "helm.sh/hook" "pre-install,pre-upgrade" -}}
{{- $_ := set $hook "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ ternary $fullname (printf "%s-%d" $fullname (int .root.Release.Revision)) $isHook }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
  {{- if $isHook }}
  annotations:
    {{- toYaml (merge (dict "helm.sh/hook-weight" .weight) $hook) | nindent 4 }}
  {{- end }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 900
  template:
    metadata:
      labels:
        {{- include "dragoman.selector" . | nindent 8 }}
    spec:
      restartPolicy: Never
      {{- include "dragoman.pod" .root | nindent 6 }}
      containers:
        - name: {{ .name }}
          {{- include "dragoman.container" .root | nindent 10 }}
          {{- if $isHook }}
          command: {{ splitList " " .command | toJson }}
          {{- else }}
          command: [sh, -c, {{ printf "until %s; do sleep 2; done" .command | quote }}]
          {{- end }}
          env:
            {{- range $setting, $key := .files }}
            - name: {{ $setting }}_FILE
              value: /etc/dragoman/{{ $key }}
            {{- end }}
            {{- with include "dragoman.authorities" .root }}
            {{- . | trim | nindent 12 }}
            {{- end }}
          {{- with .root.Values.jobs.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            {{- include "dragoman.mounts" .root | nindent 12 }}
      volumes:
        {{- include "dragoman.volumes" . | nindent 8 }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{- $policy := merge (dict "isJob" true) . }}
{{- if $isHook }}
{{- $_ := set $policy "annotations" (merge (dict "helm.sh/hook-weight" "-10") $hook) }}
{{- end }}
{{ include "dragoman.networkPolicy" $policy }}
{{- end }}
{{- end -}}
