"""What docker-compose.yml runs beside the product in its demo: a load, and a mailbox."""
