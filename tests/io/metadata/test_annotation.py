from xml.etree import ElementTree

import pytest

from zsdeconv.io.metadata.annotation import ANNOTATION_NAMESPACE, read_annotation


@pytest.mark.parametrize("text", ["", "not json", '{"half": '])
def test_annotation_that_somebody_damaged_is_ignored(text):
    xml = f'<OME><MapAnnotation Namespace="{ANNOTATION_NAMESPACE}"><Value><M K="provenance">{text}</M></Value></MapAnnotation></OME>'
    assert not read_annotation(ElementTree.fromstring(xml)).get("provenance")
