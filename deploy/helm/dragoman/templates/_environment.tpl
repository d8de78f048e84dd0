{{/* The environment of one component (.root, .name): its settings, and the files that have its secrets. */}}
{{- define "dragoman.environment" -}}
{{- $values := include "dragoman.values" . | fromJson -}}
{{- $facts := index (include "dragoman.components" .root | fromYaml) .name -}}
{{- $prefix := printf "DRAGOMAN_%s" (upper .name) -}}
{{- $secrets := deepCopy $facts.secrets -}}
{{- range $values.optionalSecrets -}}
{{- $_ := set $secrets . (index $facts.optionalSecrets .) -}}
{{- end -}}
{{- if and (eq .name "otp") .root.Values.development.enabled -}}
{{- $_ := set $secrets "SMS_PASSWORD" $facts.optionalSecrets.SMS_PASSWORD -}}
{{- end -}}
{{- $own := mergeOverwrite (include "dragoman.ownSettings" . | fromJson) $values.settings -}}
{{- $common := mergeOverwrite (dict "ADMIN_HOST" "0.0.0.0") (deepCopy .root.Values.settings) -}}
{{- $_ := required "settings.ISSUER is required: the platform's own URL, as clients see it" $common.ISSUER -}}
{{- range $setting, $value := $common }}
- name: DRAGOMAN_{{ $setting }}
  value: {{ include "dragoman.text" $value | quote }}
{{- end }}
{{- range $setting, $value := $own }}
- name: {{ $prefix }}_{{ $setting }}
  value: {{ include "dragoman.text" $value | quote }}
{{- end }}
{{- range $setting, $key := $secrets }}
- name: {{ $prefix }}_{{ $setting }}_FILE
  value: /etc/dragoman/{{ $key }}
{{- end }}
{{- end -}}

{{/* What the chart itself tells a component (.root, .name), where its settings do not say otherwise. */}}
{{- define "dragoman.ownSettings" -}}
{{- $own := dict "ADMIN_PORT" 9000 -}}
{{- $fullname := include "dragoman.fullname" .root -}}
{{- if eq .name "gateway" -}}
{{- $own = merge $own (dict "HOST" "0.0.0.0" "PORT" 8080 "LEAVE_SECONDS" 10) -}}
{{- else if and (eq .name "identity") .root.Values.identity.providerSecrets -}}
{{- $_ := set $own "PROVIDER_SECRETS" "/etc/dragoman-providers" -}}
{{- else if and (eq .name "otp") .root.Values.development.enabled -}}
{{- $inbox := printf "%s-inbox" $fullname -}}
{{- $own = merge $own (dict "SMTP_HOST" $inbox "SMTP_PORT" 2525 "SMTP_TLS" "none") -}}
{{- $own = merge $own (dict "MAIL_FROM" "no-reply@example.com" "SMS_FROM" "+4915112345678") -}}
{{- $own = merge $own (dict "SMS_URL" (printf "http://%s:8025/sms/Messages.json" $inbox) "SMS_USERNAME" "demo") -}}
{{- end -}}
{{- toJson $own -}}
{{- end -}}

{{/*
Seconds that a pod of a component (.root, .name) has to end: as long as a gateway goes on answering, plus the longest
request, plus the longest wait for work in hand, and five for closing what is open.
*/}}
{{- define "dragoman.grace" -}}
{{- $common := .root.Values.settings -}}
{{- $own := mergeOverwrite (include "dragoman.ownSettings" . | fromJson) (index .root.Values .name).settings -}}
{{- $request := .root.Values.gateway.settings.REQUEST_SECONDS | default 5 -}}
{{- $drain := $own.DRAIN_SECONDS | default $common.DRAIN_SECONDS | default 10 -}}
{{- addf ($own.LEAVE_SECONDS | default 0) $request $drain 5 | ceil | int -}}
{{- end -}}
