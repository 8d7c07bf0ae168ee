{{/* Labels that select the controller's pods; they never change. */}}
{{- define "outrigger.selector" -}}
app.kubernetes.io/name: outrigger-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object of the chart. */}}
{{- define "outrigger.labels" -}}
{{ include "outrigger.selector" . }}
app.kubernetes.io/part-of: outrigger
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The image with its registry, and its digest before its tag. */}}
{{- define "outrigger.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $name .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/*
What the controller may do in a namespace that it works for, and why it needs that.

Server-side apply creates by PATCH and asks for `create` with the object's name, so that even creation is bound to the names.
*/}}
{{- define "outrigger.rules" -}}
# What people write. Only the status is the controller's to change.
- apiGroups: [outrigger.dev]
  resources: [modelroutes, providerkeys]
  verbs: [get, list, watch]
- apiGroups: [outrigger.dev]
  resources: [modelroutes/status, providerkeys/status]
  verbs: [patch]
# What ProviderKeys name: Secrets with keys, ConfigMaps with certificates. Which ones is not known before somebody writes it.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
# What the sidecars run: one Secret, one ConfigMap, and one RoleBinding that lets the namespace's pods watch that ConfigMap.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [outrigger-keys]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [outrigger-snapshot]
  verbs: [create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  resourceNames: [outrigger-sidecar]
  verbs: [get, create, patch, delete]
# Nothing but this one role can be handed on.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [outrigger-sidecar]
  verbs: [bind]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
