"""What every service process does at its start: read its settings, configure its log, bind its socket."""
