"""The demo's model: a small ResNet for Fashion-MNIST, with trained weights as package data."""
