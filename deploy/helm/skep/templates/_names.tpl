{{- define "skep.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Files of deploy, with a namespace in the place of deploy's: the release's, if none is said. */ -}}
{{- define "skep.files" -}}
{{- $namespace := printf "${1} %s" (.namespace | default .context.Release.Namespace) -}}
{{- range $path, $_ := .context.Files.Glob .glob }}
---
{{ regexReplaceAll "(?m)^(\\s*namespace:) bpfman$" ($.context.Files.Get $path) $namespace }}
{{- end -}}
{{- end -}}

{{- define "skep.labels" -}}
app.kubernetes.io/part-of: bpfman
app.kubernetes.io/name: bpfman-operator
{{- end -}}

{{- /* Labels and annotations of what runs before an uninstall. */ -}}
{{- define "skep.hook" }}
  labels:
    app.kubernetes.io/part-of: bpfman
    app.kubernetes.io/name: bpfman-uninstall
  annotations:
    helm.sh/hook: pre-delete
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
