"""Images: from the bytes of a file to arrays and back.

`image_header` and `tiff_files` tell what a file holds, `image_files` decodes it, and `images` is
what everybody calls. The rest works with images that are read, or with their names.
"""
