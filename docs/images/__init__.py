"""Pictures of the documentation, drawn from what modelpress really finds in two small networks."""
