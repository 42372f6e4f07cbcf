"""The endpoints: uploads, the admin API, the public read API, and their OpenAPI description."""
