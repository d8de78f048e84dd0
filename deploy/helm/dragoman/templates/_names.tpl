{{/* What everything of one release is called. */}}
{{- define "dragoman.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that tell the pods of one part of the release (.root, .name) from all others; they never change. */}}
{{- define "dragoman.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* The labels of every object of one part of the release (.root, .name). */}}
{{- define "dragoman.labels" -}}
{{ include "dragoman.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The Secret of one part of the release (.root, .name): the one that is named, or <fullname>-<part>. */}}
{{- define "dragoman.secret" -}}
{{- (index .root.Values .name).existingSecret | default (printf "%s-%s" (include "dragoman.fullname" .root) .name) -}}
{{- end -}}

{{- define "dragoman.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the chart knows of all components: files/components.yaml. */}}
{{- define "dragoman.components" -}}
{{ .Files.Get "files/components.yaml" }}
{{- end -}}

{{/* The values of one component (.root, .name), with the defaults where it says nothing itself. */}}
{{- define "dragoman.values" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values .name)) | toJson -}}
{{- end -}}

{{/* A setting as text. Helm reads every number as a float, which would be printed as 1.2096e+06. */}}
{{- define "dragoman.text" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else if kindIs "slice" . -}}{{ join "," . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}
