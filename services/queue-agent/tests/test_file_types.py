"""What a file is called and served as: as the runtime does, unless its bytes surely differ."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from queue_agent.files.body import FileBody
from queue_agent.files.types import PNG, file_type

BINARY = "application/octet-stream"


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, kind)
    return buffer.getvalue()


def media(brand: bytes, *compatible: bytes) -> bytes:
    brands = b"".join([brand, bytes(4), *compatible])
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x08free" * 20


def matroska(kind: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84" + kind + bytes(100)


RIFF = b"RIFF\x24\x08\0\0"


@pytest.mark.parametrize(
    ("body", "name", "extension", "content_type"),
    [
        (b'\x90\0\0\0\0\0\0\0{"latent_tensor": ', "ComfyUI_00001_.latent", "latent", BINARY),
        (b'\x90\0\0\0\0\0\0\0{"a": ', "x.safetensors", "safetensors", BINARY),
        (b"PK\x03\x04\0\0archive/data.pkl", "voice.pt", "pt", BINARY),
        (b"GGUF\x03\0\0\0", "model.gguf", "gguf", BINARY),
        (matroska(b"matroska"), "a.mkv", "mkv", "video/x-matroska"),
        (matroska(b"webm"), "a.mkv", "mkv", "video/x-matroska"),
        (matroska(b"webm"), "a.webm", "webm", "video/webm"),
        (matroska(b"webm"), "", "webm", "video/webm"),
        (RIFF + b"AVI LIST", "a.avi", "avi", "video/x-msvideo"),
        (RIFF + b"WAVEfmt ", "a.wav", "wav", "audio/wav"),
        (RIFF + b"WEBPVP8 ", "a.png", "webp", "image/webp"),
        (media(b"M4A ", b"M4A ", b"isom"), "a.m4a", "m4a", "audio/mp4"),
        (media(b"isom", b"iso2"), "a.m4a", "m4a", "audio/mp4"),
        (media(b"isom", b"iso2", b"avc1", b"mp41"), "", "mp4", "video/mp4"),
        (media(b"qt  "), "a.mov", "mov", "video/quicktime"),
        (media(b"mif1", b"avif", b"miaf"), "a.avif", "avif", "image/avif"),
        (media(b"avis", b"avif"), "a.avif", "avif", "image/avif"),
        (media(b"avis", b"msf1"), "", "avif", "image/avif"),
        (media(b"heic", b"mif1"), "a.jpg", "heic", "image/heic"),
        (b"OggS\0\x02\0\0", "a.opus", "opus", "audio/ogg"),
        (b"BMW drives through the rain", "caption.txt", "txt", "text/plain"),
        (b"BM\0", "caption.txt", "txt", "text/plain"),
        (b"ID3 tags are for music", "caption.txt", "txt", "text/plain"),
        (b"RIFF raff, a dog", "caption.txt", "txt", "text/plain"),
        (b"RIFFxxxxWAVE is a text, too", "caption.txt", "txt", "text/plain"),
        (b"GIF89a was a format", "caption.txt", "txt", "text/plain"),
        (b"fLaC and OggS", "caption.txt", "txt", "text/plain"),
        (b"ID3\x04\0\0\0\0\x02\x01TSSE", "a.bin", "mp3", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "a.mp3", "mp3", "audio/mpeg"),
        (picture("BMP"), "a.bin", "bmp", "image/bmp"),
        (picture("JPEG"), "a.png", "jpg", "image/jpeg"),
        (picture("PNG"), "a.jpeg", "png", "image/png"),
        (picture("TIFF"), "a.tif", "tiff", "image/tiff"),
        (b"glTF\x02\0\0\0\x10\0\0\0", "mesh.glb", "glb", "model/gltf-binary"),
        (b"v 1 2 3", "model.OBJ", "obj", "model/obj"),
        (b"\0\0\0\0what", "odd.xyzzy", "xyzzy", BINARY),
        (b"\0\0\0\0what", "odd.My_Own-Long_Extension", "myownlongextensi", BINARY),
        (b"\0\0\0\0what", "no-extension", "png", "image/png"),
        (b"", "", "png", "image/png"),
    ],
)
def test_name_counts_unless_the_bytes_are_surely_something_else(
    body: bytes, name: str, extension: str, content_type: str
) -> None:
    large = FileBody()
    large.write(body)

    for one in (body, large):
        found = file_type(one, name)
        assert (found.extension, found.content_type) == (extension, content_type)


def test_bytes_that_say_nothing_are_taken_for_a_png() -> None:
    assert file_type(b"\0").content_type == PNG.content_type
