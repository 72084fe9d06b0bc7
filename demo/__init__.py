"""The Gradio app: find faces, recognise expressions, compare and draw them."""
