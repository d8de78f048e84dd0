{{/*
Everything of one component: call it with (dict "root" $ "name" "token"). Settings are in the pod's template itself, so
that a changed one rolls out, and rolls back, with it.
*/}}
{{- define "dragoman.component" -}}
{{- include "dragoman.check" . -}}
{{- $values := include "dragoman.values" . | fromJson -}}
{{- $fullname := printf "%s-%s" (include "dragoman.fullname" .root) .name -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ int $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 25%
  selector:
    matchLabels:
      {{- include "dragoman.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- merge (include "dragoman.selector" . | fromYaml) $values.podLabels | toYaml | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $fullname }}
      {{- include "dragoman.pod" .root | nindent 6 }}
      terminationGracePeriodSeconds: {{ include "dragoman.grace" . }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.topologySpread }}
      topologySpreadConstraints:
        {{- range . }}
        - maxSkew: 1
          topologyKey: {{ .topologyKey }}
          whenUnsatisfiable: {{ .whenUnsatisfiable }}
          labelSelector:
            matchLabels:
              {{- include "dragoman.selector" $ | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          {{- include "dragoman.container" .root | nindent 10 }}
          args: [{{ .name }}]
          env:
            {{- include "dragoman.environment" . | trim | nindent 12 }}
            {{- with include "dragoman.authorities" .root }}
            {{- . | trim | nindent 12 }}
            {{- end }}
          ports:
            {{- if eq .name "gateway" }}
            - name: http
              containerPort: 8080
            {{- end }}
            - name: admin
              containerPort: 9000
          {{- $isGateway := eq .name "gateway" }}
          {{- /*
          A gateway has to reach the broker once. Later it stays in the Service without it: keys, the revocation feed
          and 503 in the dialect's words are what only a gateway can give then.
          */}}
          startupProbe:
            httpGet: {path: {{ ternary "/readyz" "/livez" $isGateway }}, port: admin}
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 150
          livenessProbe:
            httpGet: {path: /livez, port: admin}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: {{ ternary "/livez" "/readyz" $isGateway }}, port: admin}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          {{- with $values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            {{- include "dragoman.mounts" .root | nindent 12 }}
            {{- if $values.providerSecrets }}
            - name: providers
              mountPath: /etc/dragoman-providers
              readOnly: true
            {{- end }}
      volumes:
        {{- include "dragoman.volumes" . | nindent 8 }}
        {{- with $values.providerSecrets }}
        - name: providers
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $values.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "dragoman.selector" . | nindent 6 }}
{{- if $values.autoscaling.enabled }}
---
{{ include (ternary "dragoman.scaledObject" "dragoman.autoscaler" $values.autoscaling.keda.enabled) . }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{ include "dragoman.networkPolicy" . }}
{{- end }}
{{- end -}}
