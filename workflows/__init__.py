"""The Argo Workflow templates that jobs are rendered from, the schemas of their configs, and the configs themselves."""
