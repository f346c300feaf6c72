{{- /* The names and labels of everything in the chart. */ -}}

{{- define "repobridge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "repobridge.operator.fullname" -}}
{{ include "repobridge.fullname" . }}-operator
{{- end -}}

{{- define "repobridge.operator.serviceAccountName" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (include "repobridge.operator.fullname" .) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- required "Name an account that exists with operator.serviceAccount.name, or let the chart make one with operator.serviceAccount.create." .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "repobridge.gateway.fullname" -}}
{{ include "repobridge.fullname" . }}-gateway
{{- end -}}

{{- define "repobridge.gateway.serviceAccountName" -}}
{{- if .Values.gateway.serviceAccount.create -}}
{{- default (include "repobridge.gateway.fullname" .) .Values.gateway.serviceAccount.name -}}
{{- else -}}
{{- required "Name an account that exists with gateway.serviceAccount.name, or let the chart make one with gateway.serviceAccount.create." .Values.gateway.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "repobridge.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "repobridge"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{- /* What bridges' NetworkPolicies let in, beside the instance: these never change. */ -}}
{{- define "repobridge.operator.selector" -}}
app.kubernetes.io/name: repobridge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "repobridge.operator.labels" -}}
{{- $labels := include "repobridge.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "operator") -}}
{{- end -}}

{{- define "repobridge.operator.podLabels" -}}
{{- $labels := include "repobridge.operator.labels" . | fromYaml -}}
{{- toYaml (merge (omit $labels "helm.sh/chart") .Values.operator.podLabels) -}}
{{- end -}}

{{- define "repobridge.gateway.selector" -}}
app.kubernetes.io/name: repobridge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "repobridge.gateway.labels" -}}
{{- $labels := include "repobridge.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "gateway") -}}
{{- end -}}

{{- define "repobridge.gateway.podLabels" -}}
{{- $labels := include "repobridge.gateway.labels" . | fromYaml -}}
{{- toYaml (merge (omit $labels "helm.sh/chart") .Values.gateway.podLabels) -}}
{{- end -}}

{{- /* The image of a list of the root and an entry of images. */ -}}
{{- define "repobridge.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := required "Say where the images are with images.registry, as registry.example/repobridge; docs/images.md says how to build them." $root.Values.images.registry -}}
{{- $place := printf "%s/%s" (trimSuffix "/" $registry) $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $place $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $place (default $root.Chart.AppVersion $root.Values.images.tag) -}}
{{- end -}}
{{- end -}}
