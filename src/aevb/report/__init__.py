"""Figures, tables, page and paper."""
