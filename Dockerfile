# BitLM in a container. To reach it, see "In a container" in CONTRIBUTING.md.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=passive

WORKDIR /bitlm

# The dependencies change rarely and weigh most, so they come before the code.
# --build-arg PIP_EXTRA_INDEX_URL=... lets pip find torch's CPU build.
ARG PIP_EXTRA_INDEX_URL
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

RUN useradd --create-home --uid 10001 bitlm \
    && install -d -o bitlm -g bitlm /data
COPY config config
COPY static static
COPY templates templates
COPY bitlm bitlm
COPY app app

USER bitlm
RUN python -m bitlm compile
ENV BITLM_DATA_DIR=/data
VOLUME /data
EXPOSE 5000

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('BITLM_PORT', '5000')}/healthz\", timeout=4)"]

CMD ["python", "-m", "app"]
