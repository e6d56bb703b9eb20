"""A caption and a person's name that are HTML."""

CAPTION = "</script><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
NAME = '<img src=x onerror=attacked=1> & "co"\''
