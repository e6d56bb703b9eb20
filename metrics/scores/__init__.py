"""The metrics themselves: each joins an encoder with a statistic and makes one column of the table."""
