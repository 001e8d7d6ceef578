"""Advises on a notebook that imports a module which the VM's Python does not have. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping

from builder.model import CellFailure
from builder.plan.requirements_file import normalized

# Packages of modules with another name. To install the module's name would install something else or nothing.
_PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "google.auth": "google-auth",
    "google.genai": "google-genai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "imblearn": "imbalanced-learn",
    "IPython": "ipython",
    "jwt": "PyJWT",
    "mpl_toolkits": "matplotlib",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "vertexai": "google-cloud-aiplatform",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
# Modules whose package has the same name. For any other module no package is named: an index can have a foreign one of
# that name.
_SAME_NAME = {
    "altair", "bokeh", "boto3", "cartopy", "catboost", "dash", "dask", "datasets", "db_dtypes", "duckdb", "fastapi",
    "fiona", "flask", "folium", "fsspec", "gcsfs", "gensim", "geopandas", "gradio", "gspread", "h5py", "httpx", "hvplot",
    "ipywidgets", "jax", "jinja2", "joblib", "keras", "langchain", "lightgbm", "lxml", "matplotlib", "mlflow",
    "networkx", "nltk", "numba", "numpy", "openai", "openpyxl", "optuna", "pandas", "pandas_gbq", "patsy", "plotly",
    "polars", "prophet", "pyarrow", "pydantic", "pydeck", "pymc", "pyspark", "pytest", "pytz", "rasterio", "requests",
    "scipy", "seaborn", "shap", "shapely", "simplejson", "spacy", "sqlalchemy", "statsmodels", "streamlit", "sympy",
    "tabulate", "tenacity", "tensorflow", "tiktoken", "tokenizers", "torch", "torchvision", "tqdm", "transformers",
    "wordcloud", "xarray", "xgboost", "xlrd", "xlsxwriter", "yfinance",
}  # fmt: skip
_NO_HELP = {"ipympl"}  # advice.py has what helps
_CLOUD_PACKAGES = {"secretmanager": "secret-manager"}
_MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,200})'$")
# The error of `from google.cloud import bigquery` if another package has created the namespace.
_NOT_IN_NAMESPACE = re.compile(r"ImportError: cannot import name '(\w{1,100})' from 'google\.cloud' ")
_CLOUD_IMPORT = re.compile(r"\bgoogle\.cloud(?:\.| +import +)(\w{1,100})")
_NAMESPACES = ("google", "google.cloud")


def missing_module_advice(
    failure: CellFailure,
    *,
    own: Mapping[str, str],
    staged: Collection[str],
    installed: Collection[str],
    pip_cell: int | None = None,
) -> str | None:
    """Return the advice for a cell that failed because a module is missing; None if it failed for another reason.

    `own` has the path of each module in the repository, `staged` the paths that were staged with the notebook, and
    `installed` the packages that the kernel could import, as name==version. `pip_cell` is a cell that runs pip.
    """
    module = _missing(failure)
    if module is None or module in _NO_HELP:
        return None
    top = module.partition(".")[0]
    if top in own:
        return _own_module(top, own[top], staged)
    advice = _package_advice(module, top, installed)
    tried = f"Cell {pip_cell} installs packages, but not this one for this kernel. " if pip_cell else ""
    return advice and tried + advice


def _package_advice(module: str, top: str, installed: Collection[str]) -> str | None:
    package = _package(module, top)
    if package is None and module == top and top not in sys.stdlib_module_names:
        return (
            f"The VM's Python has no {module}. If it is a module of the repository, add its file to NB_INCLUDE. If it belongs to a package, add "
            "that one to NB_REQUIREMENTS."
        )
    if package is None or normalized(package) in {normalized(name.partition("==")[0]) for name in installed}:
        return None
    return f"The VM's Python has no {module}: add {package} to NB_REQUIREMENTS, or use an image family that has it (docs/packages.md)."


def _missing(failure: CellFailure) -> str | None:
    """Return the module that the error names, or the part of Google's namespace that the cell imports."""
    named = _NOT_IN_NAMESPACE.match(failure.error)
    if named is not None:
        return f"google.cloud.{named[1]}"
    missing = _MISSING.match(failure.error)
    if missing is None or missing[1] not in _NAMESPACES:
        return missing and missing[1]
    lines = failure.source.split("\n")
    place = lines[failure.line - 1] if failure.line is not None else failure.source
    wanted = _CLOUD_IMPORT.search(place)
    return f"google.cloud.{wanted[1]}" if wanted else None


def _package(module: str, top: str) -> str | None:
    """Return the package that has the module; None if no package is missing, or none is known."""
    if module.startswith("google.cloud."):
        name = re.sub(r"_v\d\w*$", "", module.split(".")[2])
        return f"google-cloud-{_CLOUD_PACKAGES.get(name, name).replace('_', '-')}"
    namespaced = ".".join(module.split(".")[:2])
    if namespaced in _PACKAGES:
        return _PACKAGES[namespaced]
    if module != top or top in sys.stdlib_module_names:
        return None  # the package is there, and this part of it is not
    return _PACKAGES.get(top) or (top.replace("_", "-") if top in _SAME_NAME else None)


def _own_module(name: str, path: str, staged: Collection[str]) -> str:
    if path in staged:
        return (
            f"{path} is staged, but not where Python looks for {name}. A notebook runs in its own folder. Put the module beside the notebook, "
            "or its folder on sys.path."
        )
    return f"{name} is {path} of this repository, which is not staged. Add it to NB_INCLUDE."
