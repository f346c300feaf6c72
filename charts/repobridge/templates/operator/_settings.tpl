{{- /* The operator's settings file. */ -}}
{{- define "repobridge.operator.settings" -}}
{{- $runner := .Values.sessionRunner -}}
{{- $network := dict "metrics_from" .Values.network.metricsFrom -}}
{{- if kindIs "slice" .Values.network.dns -}}
{{- $_ := set $network "dns" .Values.network.dns -}}
{{- end -}}
{{- if kindIs "slice" .Values.network.privateRanges -}}
{{- $_ := set $network "private_ranges" .Values.network.privateRanges -}}
{{- end -}}
namespace: {{ .Release.Namespace }}
namespaces: {{ toJson .Values.namespaces }}
pod:
  image: {{ include "repobridge.image" (list . .Values.images.sessionRunner) | quote }}
  image_pull_secrets: {{ toJson $runner.imagePullSecrets }}
  user_id: {{ int64 $runner.userId }}
  base_memory_bytes: {{ int64 $runner.baseMemoryBytes }}
  cpu_request_milli: {{ int64 $runner.cpuRequestMilli }}
  ephemeral_request_bytes: {{ int64 $runner.ephemeralRequestBytes }}
  ephemeral_limit_bytes: {{ int64 $runner.ephemeralLimitBytes }}
  shutdown_grace_seconds: {{ int64 $runner.shutdownGraceSeconds }}
  termination_margin_seconds: {{ int64 $runner.terminationMarginSeconds }}
  log_format: {{ $runner.logFormat }}
network: {{ toJson $network }}
tenancy: {{ toJson .Values.tenancy }}
lease_seconds: {{ .Values.operator.leaseSeconds }}
workers: {{ int64 .Values.operator.workers }}
log_level: {{ .Values.operator.logLevel }}
log_format: {{ .Values.operator.logFormat }}
{{- end -}}
