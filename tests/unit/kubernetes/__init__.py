"""Tests of deploy/kubernetes: what kustomize makes of it is what the API and the images take."""
