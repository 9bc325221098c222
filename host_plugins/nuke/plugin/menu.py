"""Run by Nuke when its interface starts."""

from host_plugins.nuke.menu import add_menu

add_menu()
