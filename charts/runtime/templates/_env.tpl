{{/* A list of EnvVar from what a user wrote: that, or a map of names to values. */}}
{{- define "runtime.asEnv" -}}
{{- if kindIs "map" . }}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- else if . }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* (dict "ours" list-of-EnvVar "theirs" extraEnv): a name that both have is theirs, once. */}}
{{- define "runtime.env" -}}
{{- $theirs := include "runtime.asEnv" .theirs | fromYamlArray }}
{{- $taken := list }}
{{- range $theirs }}{{ $taken = append $taken .name }}{{ end }}
{{- $all := list }}
{{- range .ours }}
{{- if not (has .name $taken) }}{{ $all = append $all . }}{{ end }}
{{- end }}
{{- concat $all $theirs | toYaml }}
{{- end }}

{{/* The settings of the agent that are not facts of the deployment. */}}
{{- define "runtime.agentKnobs" -}}
answer_bytes depth input_audio_bytes input_buckets input_bytes input_count input_model_bytes input_ports
input_private_hosts input_redirects input_timeout input_total_bytes input_user_agent input_video_bytes
invokeai_models_folder lease log_level node_type receive_wait refusal_pause run_timeout_cap run_timeout_floor
run_timeout_per_megapixel_step runtime_load_time runtime_poll runtime_silence settle_budget
{{- end }}

{{/* How many GPUs of its node a pod has: 1 where it names none. */}}
{{- define "runtime.gpus" -}}
{{- $limits := .Values.runtime.inferenceApi.resources.limits | default dict }}
{{- max 1 (get $limits "nvidia.com/gpu" | default "1" | int) }}
{{- end }}

{{/* The variables of the agent that the chart sets, as (dict "env" list) in YAML. */}}
{{- define "runtime.agentEnv" -}}
{{- $facts := .Values.deployment }}
{{- $settings := dict
      "host" "0.0.0.0"
      "ops_port" (include "runtime.opsPort" .)
      "queue_url" $facts.queueUrl
      "output_bucket" $facts.outputBucket
      "claim_bucket" $facts.claimBucket
      "notifier_target" $facts.notifierTarget
      "runtime_name" .Values.name
      "runtime_type" .Values.type
      "runtime_url" (printf "http://127.0.0.1:%d" (int .Values.runtime.inferenceApi.port))
      "model_filename" .Values.modelFilename
      "dynamic_model" (.Values.dynamicModel | toString)
      "drain" (.Values.runtime.drainSeconds | int | toString)
      "termination_grace" (.Values.runtime.terminationGracePeriodSeconds | int | toString)
      "node_name" "$(NODE_NAME)"
      "node_prices" (toJson $facts.nodePrices.types)
      "price_currency" $facts.nodePrices.currency
      "gpus" (include "runtime.gpus" .)
      "agent_name" "$(POD_NAME)"
      "pod_name" "$(POD_NAME)"
      "pod_namespace" .Release.Namespace }}
{{- if and (eq .Values.type "invokeai") .Values.runtime.persistence.enabled }}
{{- $_ := set $settings "invokeai_models_folder" .Values.runtime.inferenceApi.modelMountPath }}
{{- end }}
{{- with $facts.inputBuckets }}{{ $_ := set $settings "input_buckets" (toJson .) }}{{ end }}
{{- $known := concat (keys $settings) (include "runtime.agentKnobs" . | splitList "\n" | join " " | splitList " ") }}
{{- range include "runtime.asEnv" .Values.runtime.queueAgent.extraEnv | fromYamlArray }}
{{- if and (hasPrefix "QUEUE_AGENT_" .name) (not (has (trimPrefix "QUEUE_AGENT_" .name | lower) $known)) }}
{{- fail (printf "runtime.queueAgent.extraEnv: %s is no setting of the queue agent" .name) }}
{{- end }}
{{- end }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: NODE_NAME
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
  {{- range $name, $value := $settings }}
  - name: QUEUE_AGENT_{{ upper $name }}
    value: {{ $value | quote }}
  {{- end }}
  - name: AWS_REGION
    value: {{ $facts.region | quote }}
  {{- with $facts.awsEndpointUrl }}
  - name: AWS_ENDPOINT_URL
    value: {{ . | quote }}
  {{- end }}
  {{- with $facts.otlpEndpoint }}
  - name: OTEL_EXPORTER_OTLP_{{ $.Values.runtime.queueAgent.XRay.enabled | ternary "" "METRICS_" }}ENDPOINT
    value: {{ . | quote }}
  {{- end }}
  - name: OTEL_RESOURCE_ATTRIBUTES
    value: "service.instance.id=$(POD_NAME),k8s.namespace.name={{ .Release.Namespace }},k8s.cluster.name={{ $facts.clusterName }},cloud.region={{ $facts.region }},deployment.environment.name={{ $facts.stackName }},darkroom.runtime={{ .Values.name }}"
  # PEX unpacks itself once, into the only folder that can be written to.
  - name: PEX_ROOT
    value: /tmp/pex
{{- end }}

{{/*
Arguments of the server, as the original's images take them from EXTRA_CMD_ARG: ours, then the user's. Of an argument
that is there twice, the servers take the last; one that the user gives is not there twice.
*/}}
{{- define "runtime.arguments" -}}
{{- $theirs := .Values.runtime.inferenceApi.commandArguments }}
{{- $all := list }}
{{- if include "runtime.linksHypernetworks" . }}
{{- $all = append $all "--hypernetwork-dir /tmp/hypernetworks" }}
{{- end }}
{{- range ternary (include "runtime.ownFolders" . | fromYamlArray) list (eq .Values.type "comfyui") }}
{{- $all = append $all (printf "--%s-directory /var/darkroom%s" . (eq . "temp" | ternary "" (print "/" .))) }}
{{- end }}
{{- with $theirs }}{{ $all = append $all . }}{{ end }}
{{- join " " $all }}
{{- end }}

{{/*
A list of the folders of a server that are in a volume of ours, where old files are removed: of ComfyUI those that the
user has not put elsewhere (it makes `temp` in the one that --temp-directory names), and the outputs of InvokeAI.
*/}}
{{- define "runtime.ownFolders" -}}
{{- $server := .Values.runtime.inferenceApi }}
{{- $folders := list }}
{{- if and (eq .Values.type "comfyui") (gt (int $server.keepFilesMinutes) 0) }}
{{- if not (contains "--base-directory" $server.commandArguments) }}
{{- range list "output" "input" "temp" }}
{{- if not (contains (printf "--%s-directory" .) $server.commandArguments) }}{{ $folders = append $folders . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.type "invokeai") (gt (int $server.keepFilesMinutes) 0) }}{{ $folders = list "outputs" }}{{ end }}
{{- toYaml $folders }}
{{- end }}

{{/* The variables of the runtime that the chart sets: those that the original's images read. */}}
{{- define "runtime.serverEnv" -}}
{{- $port := int .Values.runtime.inferenceApi.port }}
env:
  {{- if eq .Values.type "sdwebui" }}
  {{- if .Values.dynamicModel }}
  - name: DYNAMIC_SD_MODEL
    value: "true"
  {{- else if .Values.modelFilename }}
  - name: SD_MODEL_CHECKPOINT
    value: {{ .Values.modelFilename | quote }}
  {{- end }}
  - name: API_ONLY
    value: "true"
  - name: PORT
    value: {{ $port | quote }}
  - name: CONFIG_FILE
    value: /tmp/config.json
  {{- else if eq .Values.type "invokeai" }}
  - name: INVOKEAI_HOST
    value: 0.0.0.0
  - name: INVOKEAI_PORT
    value: {{ $port | quote }}
  {{- if include "runtime.ownFolders" . | fromYamlArray }}
  - name: INVOKEAI_OUTPUTS_DIR
    value: /var/darkroom/outputs
  {{- end }}
  {{- else }}
  - name: PORT
    value: {{ $port | quote }}
  {{- end }}
  - name: EXTRA_CMD_ARG
    value: {{ include "runtime.arguments" . | quote }}
{{- end }}
