{{/*
Ends the command, before anything is changed, where the values of a component (.root, .name) would render to something
that Kubernetes refuses or that never gets ready.
*/}}
{{- define "dragoman.check" -}}
{{- $values := include "dragoman.values" . | fromJson -}}
{{- $facts := index (include "dragoman.components" .root | fromYaml) .name -}}
{{- range $setting := keys $facts.secrets $facts.optionalSecrets -}}
{{- if or (hasKey $values.settings $setting) (hasKey $.root.Values.settings $setting) -}}
{{- fail (printf "settings: %s of %s is a secret and belongs in its Secret" $setting $.name) -}}
{{- end -}}
{{- end -}}
{{- $known := index (.root.Files.Get "files/settings.yaml" | fromYaml) .name -}}
{{- /* The ports that the Service, the probes and the policies name. */}}
{{- $ports := ternary (dict "PORT" "8080" "ADMIN_PORT" "9000") (dict "ADMIN_PORT" "9000") (eq .name "gateway") -}}
{{- range $setting, $value := $values.settings -}}
{{- if not (has $setting $known) -}}
{{- fail (printf "%s.settings: %s is not a setting of %s; docs/settings.md has them all" $.name $setting $.name) -}}
{{- end -}}
{{- $port := get $ports $setting -}}
{{- if and $port (ne $port (include "dragoman.text" $value)) -}}
{{- fail (printf "%s.settings: %s is %s in this chart and cannot be changed; leave it out" $.name $setting $port) -}}
{{- end -}}
{{- end -}}
{{- range $label, $value := include "dragoman.selector" . | fromYaml -}}
{{- if ne $value (get $values.podLabels $label | default $value) -}}
{{- fail (printf "%s.podLabels: %s is %s, by which the pods are found; leave it out" $.name $label $value) -}}
{{- end -}}
{{- end -}}
{{- $scaling := $values.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $numbers := printf "minReplicas %d, maxReplicas %d" (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: fewest replicas are more than most: %s" $.name $numbers) -}}
{{- end -}}
{{- end -}}
