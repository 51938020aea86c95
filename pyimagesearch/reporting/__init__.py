"""What a person sees: pictures, tables, a page of HTML."""
