{{- define "runtime.selector" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: runtime
{{- end }}

{{/* Labels of a pod. A name that both have is ours: selectors and policies go by it. */}}
{{- define "runtime.podLabels" -}}
{{- $ours := merge (include "runtime.selector" . | fromYaml) (dict "app.kubernetes.io/part-of" "darkroom") }}
{{- merge $ours .Values.runtime.labels | toYaml }}
{{- end }}

{{- define "runtime.labels" -}}
{{- include "runtime.labelsWith" (list . dict) }}
{{- end }}

{{/* Labels of an object that may have some of its own: (list $ labels). */}}
{{- define "runtime.labelsWith" -}}
{{- $root := index . 0 }}
{{- $ours := merge (include "runtime.selector" $root | fromYaml) (dict
      "app.kubernetes.io/part-of" "darkroom"
      "app.kubernetes.io/managed-by" $root.Release.Service
      "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version)
      "darkroom/runtime-type" $root.Values.type) }}
{{- merge $ours (index . 1) $root.Values.runtime.labels | toYaml }}
{{- end }}

{{/* Metadata of a namespaced object that is called after the runtime. */}}
{{- define "runtime.metadata" -}}
name: {{ .Values.name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "runtime.labels" . | nindent 2 }}
{{- end }}

{{/* The label that the agent gives its pod while a task takes long. */}}
{{- define "runtime.workLabel" -}}
darkroom/at-work
{{- end }}

{{- define "runtime.account" -}}
queue-agent-{{ .Values.name }}
{{- end }}

{{/* Name of the NodePool and its EC2NodeClass, which have no namespace. */}}
{{- define "runtime.pool" -}}
runtime-{{ .Values.name }}
{{- end }}

{{/* Name of the claim. What cannot be changed in a claim or its volume makes new ones. */}}
{{- define "runtime.claim" -}}
{{- $models := .Values.runtime.persistence }}
{{- $fixed := list .Values.deployment.modelBucket $models.size $models.storageClass $models.accessModes }}
{{- .Values.name }}-models-{{ $fixed | toJson | sha256sum | trunc 8 }}
{{- end }}

{{/* Name of what has no namespace: the volume, the policy. */}}
{{- define "runtime.volume" -}}
{{ .Release.Namespace }}-{{ include "runtime.claim" . }}
{{- end }}
{{- define "runtime.policy" -}}
{{ .Release.Namespace }}-{{ .Values.name }}-own-pod
{{- end }}

{{- define "runtime.nodeReader" -}}
{{ .Release.Namespace }}-{{ .Values.name }}-node
{{- end }}

{{/* (dict "repository" ... "tag" ... "digest" ...) */}}
{{- define "runtime.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default "latest" }}{{ end }}
{{- end }}

{{/* The models are copied to the disks of the node. */}}
{{- define "runtime.copiesModels" -}}
{{- if .Values.runtime.persistence.enabled -}}
{{ eq .Values.runtime.persistence.type "nvme" | ternary "true" "" }}
{{- end }}
{{- end }}

{{/* The models are a file system that cannot be written to. */}}
{{- define "runtime.readsModels" -}}
{{- if .Values.runtime.persistence.enabled -}}
{{ eq .Values.runtime.persistence.type "nvme" | ternary "" "true" }}
{{- end }}
{{- end }}

{{/*
From Bottlerocket 1.46.0 on, Karpenter has the system bind all its folders to the disks, SOCI's too; before, it names
three (pkg/providers/version/version.go, SupportsDefaultBind).
*/}}
{{- define "runtime.bindsSoci" -}}
{{- $version := trimPrefix "bottlerocket@" .Values.karpenter.nodeTemplate.amiAlias }}
{{- if ne $version "latest" -}}
{{ semverCompare "<1.46.0" $version | ternary "true" "" }}
{{- end }}
{{- end }}

{{/*
SD WebUI makes the folder of hypernetworks at its start and ends if it cannot (modules/shared_init.py), so where models
cannot be written to it gets one in /tmp: a link to the one of the bucket, if that has one.
*/}}
{{- define "runtime.linksHypernetworks" -}}
{{- if and (eq .Values.type "sdwebui") (include "runtime.readsModels" .) -}}
{{ contains "--hypernetwork-dir" .Values.runtime.inferenceApi.commandArguments | ternary "" "true" }}
{{- end }}
{{- end }}

{{/* The original's own agent speaks another protocol: ours runs in its place. */}}
{{- define "runtime.agentImage" -}}
{{- $named := .Values.runtime.queueAgent.image }}
{{- if and $named.repository (not (regexMatch "(^|/)(sd-on-eks|sdoneks)/queue-agent$" $named.repository)) -}}
{{ include "runtime.image" $named }}
{{- else -}}
{{ include "runtime.image" .Values.deployment.agentImage }}
{{- end -}}
{{- end }}

{{- define "runtime.probePath" -}}
{{ get (dict "sdwebui" "/sdapi/v1/memory" "comfyui" "/system_stats" "invokeai" "/api/v1/app/version") .Values.type }}
{{- end }}

{{/* The operators' port of the agent, which shares its addresses with the runtime. */}}
{{- define "runtime.opsPort" -}}
{{ eq (int .Values.runtime.inferenceApi.port) 9090 | ternary 9091 9090 }}
{{- end }}

{{/* The port of an address: (list "http://host:1234" 443); the second when it names none. */}}
{{- define "runtime.port" -}}
{{- $port := "" }}
{{- with index . 0 }}{{ $port = regexFind ":[0-9]+$" (trimSuffix "/" .) | trimPrefix ":" }}{{ end -}}
{{ $port | default (index . 1) }}
{{- end }}
