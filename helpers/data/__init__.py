"""Images and puzzles on their way to Caffe: data sets, preprocessing, photographs, downloads."""
