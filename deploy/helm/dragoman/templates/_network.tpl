{{/*
What one part of the release (.root, .name) may reach and be reached from. Without a list of peers a rule holds for any
address: what matters most is that nobody at all reaches a service, since calls come over the broker.
*/}}
{{- define "dragoman.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "dragoman.fullname" .root }}-{{ .name }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "dragoman.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if .isJob }} []
    {{- else }}
    - ports:
        - port: 9000
      {{- with $policy.monitoringFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- if eq .name "gateway" }}
    - ports:
        - port: 8080
      {{- with $policy.gatewayFrom }}
      from:
        {{- toYaml . | nindent 8 }}
        - podSelector: # `helm test`
            matchLabels:
              {{- include "dragoman.selector" (dict "root" $.root "name" "test") | nindent 14 }}
      {{- end }}
    {{- end }}
    {{- end }}
  egress:
    - ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
      {{- with $policy.dnsTo }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- range $place := include "dragoman.connectsTo" . | splitList " " }}
    {{- $destination := include "dragoman.destination" (dict "root" $.root "place" $place) | fromJson }}
    - ports:
        {{- range $destination.ports }}
        - port: {{ int . }}
        {{- end }}
      {{- with $destination.to }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
{{- end -}}

{{/* Ports and peers of one place that is connected to (.root, .place): a pod of the release in development mode. */}}
{{- define "dragoman.destination" -}}
{{- $destination := index .root.Values.networkPolicy .place -}}
{{- $bundled := dict "rabbitmq" (list "rabbitmq" 5672) "rabbitmqManagement" (list "rabbitmq" 15672) -}}
{{- $bundled = merge $bundled (dict "postgresql" (list "postgresql" 5432) "redis" (list "redis" 6379)) -}}
{{- $bundled = merge $bundled (dict "smtp" (list "inbox" 2525) "sms" (list "inbox" 8025)) -}}
{{- if and .root.Values.development.enabled (hasKey $bundled .place) (not $destination.to) -}}
{{- $server := get $bundled .place -}}
{{- $labels := include "dragoman.selector" (dict "root" .root "name" (first $server)) | fromYaml -}}
{{- $peer := dict "podSelector" (dict "matchLabels" $labels) -}}
{{- $destination = dict "ports" (rest $server) "to" (list $peer) -}}
{{- end -}}
{{- toJson $destination -}}
{{- end -}}

{{/* Where one part of the release (.root, .name) connects to: words of values.networkPolicy, with spaces between. */}}
{{- define "dragoman.connectsTo" -}}
{{- $places := list -}}
{{- $jobs := dict "migrate" (list "postgresql") "broker" (list "rabbitmqManagement") "operator" (list "rabbitmq") -}}
{{- if hasKey $jobs .name -}}
{{- $places = get $jobs .name -}}
{{- else -}}
{{- $places = (index (include "dragoman.components" .root | fromYaml) .name).connectsTo -}}
{{- $settings := mergeOverwrite (include "dragoman.ownSettings" . | fromJson) (index .root.Values .name).settings -}}
{{- if $settings.SMTP_HOST -}}{{- $places = append $places "smtp" -}}{{- end -}}
{{- if $settings.SMS_URL -}}{{- $places = append $places "sms" -}}{{- end -}}
{{- if $settings.PROVIDER_SECRETS -}}{{- $places = append $places "providers" -}}{{- end -}}
{{- if $settings.OTLP_ENDPOINT | default .root.Values.settings.OTLP_ENDPOINT -}}
{{- $places = append $places "otlp" -}}
{{- end -}}
{{- end -}}
{{- join " " $places -}}
{{- end -}}
