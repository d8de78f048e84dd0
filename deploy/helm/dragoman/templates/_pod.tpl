{{/*
What every pod of the platform has in common. Kubernetes would tell each pod of the gateway's Service by variables that
are called like our settings (DRAGOMAN_GATEWAY_PORT), hence no service links.
*/}}
{{- define "dragoman.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What every container of the platform may do: nothing beyond running. */}}
{{- define "dragoman.container" -}}
image: {{ include "dragoman.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "dragoman.confined" . }}
{{- end -}}

{{- define "dragoman.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/*
The Secret of one part of the release (.root, .name) as files that only its own group may read, and the certificates of
authorities beyond those of the image.
*/}}
{{- define "dragoman.volumes" -}}
- name: secrets
  secret:
    secretName: {{ include "dragoman.secret" . }}
    defaultMode: 0440
{{- with .root.Values.caConfigMap }}
- name: authorities
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}

{{- define "dragoman.mounts" -}}
- name: secrets
  mountPath: /etc/dragoman
  readOnly: true
{{- if .Values.caConfigMap }}
- name: authorities
  mountPath: /etc/dragoman-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* By which OpenSSL, and the driver of PostgreSQL, find these certificates. */}}
{{- define "dragoman.authorities" -}}
{{- if .Values.caConfigMap }}
- name: SSL_CERT_FILE
  value: /etc/dragoman-ca/ca.crt
- name: PGSSLROOTCERT
  value: /etc/dragoman-ca/ca.crt
{{- end }}
{{- end -}}
