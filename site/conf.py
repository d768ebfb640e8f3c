"""Sphinx's settings for the course's site; site/make_site.py prepares the sources and calls Sphinx."""

project = "The jigsaw course"
author, copyright = "", ""
extensions = ["myst_nb"]
nb_execution_mode = "off"  # make course has executed them
nb_render_markdown_format = "myst"  # of what cells print: it knows tables, and "gfm" needs linkify-it-py or Python 3.11
nb_code_prompt_show = "Set-up: show {type}"
nb_code_prompt_hide = "Set-up: hide {type}"
myst_heading_anchors = 4
html_theme = "furo"  # small, light and dark, no request to another host
html_title = project
html_static_path = ["static"]
html_css_files = ["course.css"]
html_show_sphinx = html_show_copyright = html_copy_source = html_show_sourcelink = False
