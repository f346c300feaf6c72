{{- /* The gateway's settings file, and the names of what it takes from elsewhere. */ -}}
{{- define "repobridge.gateway.settings" -}}
{{- $gateway := .Values.gateway -}}
token_file: /etc/repobridge/gateway/token/token
discord_api_base: {{ $gateway.discord.apiBase | quote }}
discord_proxy: {{ $gateway.discord.proxy | quote }}
store_directory: /var/lib/repobridge/gateway
namespaces: {{ toJson .Values.namespaces }}
tenancy: {{ toJson .Values.tenancy }}
access:
  {{- toYaml $gateway.access | nindent 2 }}
limits:
  {{- toYaml $gateway.limits | nindent 2 }}
guilds:
  {{- toYaml $gateway.guilds | nindent 2 }}
log_level: {{ $gateway.logLevel }}
log_format: {{ $gateway.logFormat }}
{{- end -}}

{{- define "repobridge.gateway.tokenSecretName" -}}
{{- required "Name the Secret with the bot's token with gateway.discord.tokenSecretRef.name; docs/discord-setup.md says how to make it." .Values.gateway.discord.tokenSecretRef.name -}}
{{- end -}}

{{- define "repobridge.gateway.claimName" -}}
{{- default (printf "%s-store" (include "repobridge.gateway.fullname" .)) .Values.gateway.store.existingClaim -}}
{{- end -}}
