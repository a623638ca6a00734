"""An expert behind an OpenAI-compatible server."""
