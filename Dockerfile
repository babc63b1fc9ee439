# galvote serve on processors.
FROM python:3.11-slim

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt '.[serve,field]' \
    && useradd --system --uid 10001 --no-create-home galvote

USER galvote
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp
EXPOSE 8000
# A server that is busy says so at /readyz; it is well all the same.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["galvote", "serve", "--host", "0.0.0.0"]
