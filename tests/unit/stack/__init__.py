"""Static checks of the stack: images and what docker-compose.yml starts."""
