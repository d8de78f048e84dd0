{{/* Replicas of one component (.root, .name) by their CPU. */}}
{{- define "dragoman.autoscaler" -}}
{{- $scaling := (include "dragoman.values" . | fromJson).autoscaling -}}
{{- $fullname := printf "%s-%s" (include "dragoman.fullname" .root) .name -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $fullname }}
  minReplicas: {{ int $scaling.minReplicas }}
  maxReplicas: {{ int $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int $scaling.cpuUtilization }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
{{- end -}}

{{/*
Replicas of one component (.root, .name) by their CPU and, for a service, by the calls that wait for it at the broker;
KEDA makes the autoscaler from it. Without any replica the queues are gone, hence the fallback.
*/}}
{{- define "dragoman.scaledObject" -}}
{{- $scaling := (include "dragoman.values" . | fromJson).autoscaling -}}
{{- $fullname := printf "%s-%s" (include "dragoman.fullname" .root) .name -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    name: {{ $fullname }}
  minReplicaCount: {{ int $scaling.minReplicas }}
  maxReplicaCount: {{ int $scaling.maxReplicas }}
  pollingInterval: 15
  {{- if ne .name "gateway" }}
  fallback:
    failureThreshold: 3
    replicas: {{ int $scaling.minReplicas }}
    behavior: currentReplicasIfHigher
  {{- end }}
  triggers:
    - type: cpu
      metricType: Utilization
      metadata:
        value: {{ int $scaling.cpuUtilization | quote }}
    {{- if ne .name "gateway" }}
    {{- range $queue := list (printf "rpc.%s" .name) (printf "rpc.%s.groups" .name) }}
    - type: rabbitmq
      metadata:
        protocol: http
        queueName: {{ $queue }}
        mode: QueueLength
        excludeUnacknowledged: "true"
        value: {{ int $scaling.keda.queueLength | quote }}
      authenticationRef:
        name: {{ include "dragoman.fullname" $.root }}-keda
    {{- end }}
    {{- end }}
{{- end -}}
