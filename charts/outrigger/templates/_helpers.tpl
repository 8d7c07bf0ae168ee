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

{{/* Labels of what `helm test` runs: never those that select the controller's pods. */}}
{{- define "outrigger.test-labels" -}}
app.kubernetes.io/name: outrigger-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: outrigger
{{- end }}

{{/* What makes an object a part of `helm test` that leaves with it: its place in the order. What has failed stays to be looked at. */}}
{{- define "outrigger.test-hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* An image with the registry, and its digest before its tag: a list of the root and the image's values. */}}
{{- define "outrigger.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- $name := $image.repository -}}
{{- with $root.Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $name $image.digest }}
{{- else -}}
{{ printf "%s:%s" $name ($image.tag | default $root.Chart.AppVersion) }}
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
  verbs: [get, list, watch, create, patch, delete]
# Nothing but this one role can be handed on.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [outrigger-sidecar]
  verbs: [bind]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.webhook.enabled }}
# Now and then it looks which pods ask for a sidecar and have none.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
{{- end }}

{{/* What both entries of the webhook have in common: a list of the root and the path. */}}
{{- define "outrigger.webhook" -}}
{{- $root := first . -}}
{{- $path := last . -}}
admissionReviewVersions: [v1]
clientConfig:
  {{- with $root.Values.webhook.caBundle }}
  caBundle: {{ b64enc . }}
  {{- end }}
  {{- if $root.Values.webhook.url }}
  url: {{ $root.Values.webhook.url }}{{ $path }}
  {{- else }}
  service:
    name: outrigger-webhook
    namespace: {{ $root.Release.Namespace }}
    path: {{ $path }}
  {{- end }}
rules:
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
  scope: Namespaced
# A pod that asks for the sidecar starts with it or not at all.
failurePolicy: Fail
timeoutSeconds: 5
# Another webhook may add a container after us.
reinvocationPolicy: IfNeeded
# Events, and the Secret that a namespace's first sidecar waits for.
sideEffects: NoneOnDryRun
{{- end }}

{{/* A pod says no by its annotation. Many pods have none at all. */}}
{{- define "outrigger.does-not-refuse" -}}
"!has(object.metadata.annotations) || !('outrigger.dev/inject' in object.metadata.annotations) || object.metadata.annotations['outrigger.dev/inject'] != 'false'"
{{- end }}
