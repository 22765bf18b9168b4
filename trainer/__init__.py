"""What runs inside Transform and Trainer: preprocessing, towers, loss, export."""
