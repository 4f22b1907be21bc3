"""Reading archives of ``torch.export.save`` without unpickling."""
