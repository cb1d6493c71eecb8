"""The real program among hosts that are slow, angry or dead: whose problem is it?"""
