{{- /* The gateway's settings file, and the names of what it takes from elsewhere. */ -}}
{{- define "repobridge.gateway.settings" -}}
{{ include "repobridge.gateway.fixedSettings" . }}
{{ include "repobridge.gateway.liveSettings" . }}
{{- end -}}

{{- /* What it reads at its start: a change brings a new pod. */ -}}
{{- define "repobridge.gateway.fixedSettings" -}}
{{- $gateway := .Values.gateway -}}
token_file: /etc/repobridge/gateway/token/token
discord_api_base: {{ $gateway.discord.apiBase | quote }}
discord_proxy: {{ $gateway.discord.proxy | quote }}
store_directory: /var/lib/repobridge/gateway
namespaces: {{ toJson .Values.namespaces }}
log_format: {{ $gateway.logFormat }}
{{- end -}}

{{- /* What it reads again as the mounted file changes: the pod stays. */ -}}
{{- define "repobridge.gateway.liveSettings" -}}
{{- $gateway := .Values.gateway -}}
tenancy: {{ toJson .Values.tenancy }}
access:
  {{- toYaml $gateway.access | nindent 2 }}
limits:
  {{- toYaml $gateway.limits | nindent 2 }}
guilds:
  {{- toYaml $gateway.guilds | nindent 2 }}
log_level: {{ $gateway.logLevel }}
{{- end -}}

{{- define "repobridge.gateway.tokenSecretName" -}}
{{- required "Name the Secret with the bot's token with gateway.discord.tokenSecretRef.name; docs/discord-setup.md says how to make it." .Values.gateway.discord.tokenSecretRef.name -}}
{{- end -}}

{{- define "repobridge.gateway.claimName" -}}
{{- default (printf "%s-store" (include "repobridge.gateway.fullname" .)) .Values.gateway.store.existingClaim -}}
{{- end -}}
