"""The client that programs use: `modelpress.connect` makes one."""
