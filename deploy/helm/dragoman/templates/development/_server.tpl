{{/*
One server of development mode: call it with (dict "root" $ "name" "redis" "image" <its image> "ports" <by name>
"env" <list> "args" <list> "data" <the folder that has to survive, or ""> "ready" <how a probe sees that it answers>).
The official images have their servers run as user 999.
*/}}
{{- define "dragoman.server" -}}
{{- $fullname := printf "%s-%s" (include "dragoman.fullname" .root) .name -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "dragoman.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - name: {{ $name }}
      port: {{ $port }}
    {{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "dragoman.labels" . | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $fullname }}
  selector:
    matchLabels:
      {{- include "dragoman.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "dragoman.selector" . | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 999
        runAsGroup: 999
        fsGroup: 999
        fsGroupChangePolicy: OnRootMismatch # otherwise PostgreSQL would find its folder open to its group
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .name }}
          image: {{ .image | quote }}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
          {{- with .args }}
          args: {{ toJson . }}
          {{- end }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $name, $port := .ports }}
            - name: {{ $name }}
              containerPort: {{ $port }}
            {{- end }}
          readinessProbe:
            {{- toYaml .ready | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            requests: {cpu: 100m, memory: 128Mi}
            limits: {memory: 1Gi}
          {{- with .data }}
          volumeMounts:
            - name: data
              mountPath: {{ . }}
          {{- end }}
  {{- if .data }}
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Delete
    whenScaled: Retain
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        resources:
          requests:
            storage: {{ .root.Values.development.storage }}
  {{- end }}
{{- end -}}
