"""The service over HTTP: `/v1` for programs, a page for people. Thin; the work is `service.RunService`'s."""
