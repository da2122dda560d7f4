"""Images: from the bytes of a file to arrays and back.

`image_header` and `tiff_files` tell what a file holds, and `image_files` decodes it. Everybody
calls `images` for pictures and `labels` for classes. The rest works with images that are read, or
with their names.
"""
