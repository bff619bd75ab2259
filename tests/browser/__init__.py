"""What people see: a real JupyterLab in a real browser, driven by Playwright."""
