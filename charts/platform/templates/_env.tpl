{{/* The text of one setting: whole numbers without an exponent, lists as JSON. */}}
{{- define "platform.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else if or (kindIs "slice" .) (kindIs "map" .) -}}
{{ toJson . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end }}

{{/* One variable: (list "NAME" value). */}}
{{- define "platform.variable" -}}
- name: {{ index . 0 }}
  value: {{ include "platform.text" (index . 1) | quote }}
{{- end }}

{{/* gRPC target of a service of ours in this namespace: (dict "root" $ "name" "router"). */}}
{{- define "platform.target" -}}
{{ .name }}.{{ .root.Release.Namespace }}:50051
{{- end }}

{{/*
What every service reads: (dict "root" $ "service" .Values.router "prefix" "ROUTER_" "settings" (dict ...)).
A name that is in extraEnv, too, has its value there.
*/}}
{{- define "platform.env" -}}
{{- $theirs := .service.extraEnv }}
{{- $taken := list }}
{{- range $theirs }}
{{- if hasPrefix $.prefix .name }}
{{- fail (printf "extraEnv of %s: %s belongs into settings" $.name .name) }}
{{- end }}
{{- $taken = append $taken .name }}
{{- end }}
{{- $all := list }}
{{- range include "platform.ownEnv" . | fromYamlArray }}
{{- if not (has .name $taken) }}{{ $all = append $all . }}{{ end }}
{{- end }}
{{- concat $all $theirs | toYaml }}
{{- end }}

{{- define "platform.ownEnv" -}}
{{- $facts := .root.Values.deployment }}
{{- $prefix := .prefix }}
{{- range $name, $value := .settings }}
{{ include "platform.variable" (list (printf "%s%s" $prefix (upper $name)) $value) }}
{{- end }}
{{- range $name, $value := .service.settings }}
{{ include "platform.variable" (list (printf "%s%s" $prefix (upper $name)) $value) }}
{{- end }}
{{ include "platform.variable" (list "AWS_REGION" $facts.region) }}
{{- with $facts.awsEndpointUrl }}
{{ include "platform.variable" (list "AWS_ENDPOINT_URL" .) }}
{{- end }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with $facts.otlpEndpoint }}
{{ include "platform.variable" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .) }}
{{- end }}
{{ include "platform.variable" (list "OTEL_RESOURCE_ATTRIBUTES" (printf "service.instance.id=$(POD_NAME),k8s.namespace.name=%s,k8s.cluster.name=%s,cloud.region=%s,deployment.environment.name=%s" .root.Release.Namespace $facts.clusterName $facts.region $facts.stackName)) }}
{{- /* PEX unpacks itself once, into the only folder that can be written to. */}}
{{ include "platform.variable" (list "PEX_ROOT" "/tmp/pex") }}
{{- end }}

{{/* The port of a URL: (list "http://host:1234" 443); the second when it names none. */}}
{{- define "platform.port" -}}
{{- $port := "" }}
{{- with index . 0 }}{{ $port = regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" }}{{ end -}}
{{ $port | default (index . 1) }}
{{- end }}
