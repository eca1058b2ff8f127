"""This package has the Workflow templates, the schemas of their configs, and the configs."""
