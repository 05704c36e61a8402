"""What Outrider claims about speed, measured against a named peer in the same run."""
