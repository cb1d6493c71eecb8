"""Media types ↔ extensions of files: a kept table, so that names are the same on every machine.

Not the `mimetypes` module: its answers depend on the machine (`/etc/mime.types`) and on the version
of Python. Types as registered at IANA or as servers say them, extensions as people write them.
"""

from __future__ import annotations

import re
from functools import lru_cache

_EXTENSION_OF_TYPE = {
    # documents and data
    "application/acad": "dwg",
    "application/atom+xml": "atom",
    "application/bzip2": "bz2",
    "application/cbor": "cbor",
    "application/dicom": "dcm",
    "application/ecmascript": "js",
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/geopackage+sqlite3": "gpkg",
    "application/gpx+xml": "gpx",
    "application/gzip": "gz",
    "application/java-archive": "jar",
    "application/javascript": "js",
    "application/json": "json",
    "application/jsonl": "jsonl",
    "application/ld+json": "json",
    "application/manifest+json": "json",
    "application/marc": "mrc",
    "application/mbox": "mbox",
    "application/mp4": "mp4",
    "application/msexcel": "xls",
    "application/mspowerpoint": "ppt",
    "application/msword": "doc",
    "application/n-quads": "nq",
    "application/n-triples": "nt",
    "application/netcdf": "nc",
    "application/ogg": "ogg",
    "application/pdf": "pdf",
    "application/pgp-signature": "asc",
    "application/pkix-cert": "cer",
    "application/postscript": "ps",
    "application/rar": "rar",
    "application/rdf+xml": "rdf",
    "application/rss+xml": "rss",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/tar": "tar",
    "application/toml": "toml",
    "application/trig": "trig",
    "application/vnd.adobe.photoshop": "psd",
    "application/vnd.amazon.ebook": "azw",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.debian.binary-package": "deb",
    "application/vnd.geo+json": "geojson",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "application/vnd.mapbox-vector-tile": "mvt",
    "application/vnd.ms-cab-compressed": "cab",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.ms-outlook": "msg",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptm",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": "xltx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx",
    "application/vnd.rar": "rar",
    "application/vnd.sqlite3": "sqlite",
    "application/vnd.tcpdump.pcap": "pcap",
    "application/vnd.visio": "vsd",
    "application/warc": "warc",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-apple-diskimage": "dmg",
    "application/x-bibtex": "bib",
    "application/x-bittorrent": "torrent",
    "application/x-brotli": "br",
    "application/x-bzip": "bz2",
    "application/x-bzip2": "bz2",
    "application/x-compress": "z",
    "application/x-cpio": "cpio",
    "application/x-csv": "csv",
    "application/x-debian-package": "deb",
    "application/x-dvi": "dvi",
    "application/x-font-otf": "otf",
    "application/x-font-truetype": "ttf",
    "application/x-font-ttf": "ttf",
    "application/x-font-woff": "woff",
    "application/x-gtar": "tar",
    "application/x-gzip": "gz",
    "application/x-hdf": "h5",
    "application/x-hdf5": "h5",
    "application/x-httpd-php-source": "phps",
    "application/x-ipynb+json": "ipynb",
    "application/x-iso9660-image": "iso",
    "application/x-java-archive": "jar",
    "application/x-javascript": "js",
    "application/x-json": "json",
    "application/x-jsonlines": "jsonl",
    "application/x-latex": "tex",
    "application/x-lz4": "lz4",
    "application/x-lzip": "lz",
    "application/x-lzma": "lzma",
    "application/x-matroska": "mkv",
    "application/x-mobipocket-ebook": "mobi",
    "application/x-mpegurl": "m3u8",
    "application/x-ms-installer": "msi",
    "application/x-msi": "msi",
    "application/x-ndjson": "ndjson",
    "application/x-netcdf": "nc",
    "application/x-parquet": "parquet",
    "application/x-pdf": "pdf",
    "application/x-pem-file": "pem",
    "application/x-rar": "rar",
    "application/x-rar-compressed": "rar",
    "application/x-redhat-package-manager": "rpm",
    "application/x-research-info-systems": "ris",
    "application/x-rpm": "rpm",
    "application/x-rtf": "rtf",
    "application/x-shockwave-flash": "swf",
    "application/x-sql": "sql",
    "application/x-sqlite3": "sqlite",
    "application/x-subrip": "srt",
    "application/x-tar": "tar",
    "application/x-tex": "tex",
    "application/x-x509-ca-cert": "crt",
    "application/x-xz": "xz",
    "application/x-yaml": "yaml",
    "application/x-zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/x-zstd": "zst",
    "application/xhtml+xml": "xhtml",
    "application/xml": "xml",
    "application/xslt+xml": "xsl",
    "application/yaml": "yaml",
    "application/zip": "zip",
    "application/zip-compressed": "zip",
    "application/zstd": "zst",
    # sound
    "audio/3gpp": "3gp",
    "audio/aac": "aac",
    "audio/aacp": "aac",
    "audio/ac3": "ac3",
    "audio/aiff": "aif",
    "audio/amr": "amr",
    "audio/basic": "au",
    "audio/flac": "flac",
    "audio/m4a": "m4a",
    "audio/midi": "mid",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/mpeg3": "mp3",
    "audio/mpegurl": "m3u",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/vnd.wave": "wav",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/webm": "weba",
    "audio/x-aac": "aac",
    "audio/x-aiff": "aif",
    "audio/x-flac": "flac",
    "audio/x-m4a": "m4a",
    "audio/x-matroska": "mka",
    "audio/x-midi": "mid",
    "audio/x-mp3": "mp3",
    "audio/x-mpeg": "mp3",
    "audio/x-mpegurl": "m3u",
    "audio/x-ms-wma": "wma",
    "audio/x-scpls": "pls",
    "audio/x-wav": "wav",
    "chemical/x-mdl-sdfile": "sdf",
    "chemical/x-pdb": "pdb",
    # fonts
    "font/collection": "ttc",
    "font/otf": "otf",
    "font/sfnt": "ttf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    # pictures
    "image/apng": "apng",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/dicom-rle": "dcm",
    "image/emf": "emf",
    "image/fits": "fits",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heic-sequence": "heics",
    "image/heif": "heif",
    "image/heif-sequence": "heifs",
    "image/ico": "ico",
    "image/icon": "ico",
    "image/jp2": "jp2",
    "image/jpe": "jpg",
    "image/jpeg": "jpg",
    "image/jpg": "jpg",
    "image/jpm": "jpm",
    "image/jpx": "jpx",
    "image/jxl": "jxl",
    "image/ktx": "ktx",
    "image/pjpeg": "jpg",
    "image/png": "png",
    "image/svg": "svg",
    "image/svg+xml": "svg",
    "image/targa": "tga",
    "image/tif": "tif",
    "image/tiff": "tif",
    "image/vnd.adobe.photoshop": "psd",
    "image/vnd.djvu": "djvu",
    "image/vnd.dwg": "dwg",
    "image/vnd.dxf": "dxf",
    "image/vnd.microsoft.icon": "ico",
    "image/vnd.wap.wbmp": "wbmp",
    "image/webp": "webp",
    "image/wmf": "wmf",
    "image/x-adobe-dng": "dng",
    "image/x-bmp": "bmp",
    "image/x-canon-cr2": "cr2",
    "image/x-djvu": "djvu",
    "image/x-emf": "emf",
    "image/x-eps": "eps",
    "image/x-icon": "ico",
    "image/x-ms-bmp": "bmp",
    "image/x-nikon-nef": "nef",
    "image/x-pcx": "pcx",
    "image/x-photoshop": "psd",
    "image/x-png": "png",
    "image/x-portable-anymap": "pnm",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-pixmap": "ppm",
    "image/x-targa": "tga",
    "image/x-tga": "tga",
    "image/x-webp": "webp",
    "image/x-windows-bmp": "bmp",
    "image/x-wmf": "wmf",
    "image/x-xbitmap": "xbm",
    "image/x-xcf": "xcf",
    "image/x-xpixmap": "xpm",
    # messages and models
    "message/rfc822": "eml",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/step": "stp",
    "model/stl": "stl",
    "model/vnd.collada+xml": "dae",
    # text
    "text/calendar": "ics",
    "text/comma-separated-values": "csv",
    "text/css": "css",
    "text/csv": "csv",
    "text/ecmascript": "js",
    "text/html": "html",
    "text/javascript": "js",
    "text/json": "json",
    "text/markdown": "md",
    "text/n3": "n3",
    "text/rtf": "rtf",
    "text/tab-separated-values": "tsv",
    "text/turtle": "ttl",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/x-bibtex": "bib",
    "text/x-csv": "csv",
    "text/x-diff": "diff",
    "text/x-java-source": "java",
    "text/x-json": "json",
    "text/x-markdown": "md",
    "text/x-patch": "patch",
    "text/x-python": "py",
    "text/x-rst": "rst",
    "text/x-sql": "sql",
    "text/x-tex": "tex",
    "text/x-vcalendar": "ics",
    "text/x-vcard": "vcf",
    "text/x-yaml": "yaml",
    "text/xhtml": "xhtml",
    "text/xml": "xml",
    "text/yaml": "yaml",
    # films
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "video/avi": "avi",
    "video/h264": "h264",
    "video/iso.segment": "m4s",
    "video/m4v": "m4v",
    "video/matroska": "mkv",
    "video/mp2t": "ts",
    "video/mp4": "mp4",
    "video/mpeg": "mpg",
    "video/msvideo": "avi",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/vnd.dlna.mpeg-tts": "ts",
    "video/webm": "webm",
    "video/x-f4v": "f4v",
    "video/x-flv": "flv",
    "video/x-m4v": "m4v",
    "video/x-matroska": "mkv",
    "video/x-ms-asf": "asf",
    "video/x-ms-wmv": "wmv",
    "video/x-msvideo": "avi",
    "video/x-quicktime": "mov",
}
_EXTENSION_OF_SUFFIX = {
    "json": "json", "xml": "xml", "zip": "zip", "gzip": "gz", "cbor": "cbor", "zstd": "zst",
    "yaml": "yaml", "sqlite3": "sqlite",
}  # fmt: skip
"""Of structured types (`application/problem+json`): RFC 6838 §4.2.8 and its registry."""

# Extensions of kept files that no type above has: of what servers call text/plain or
# application/octet-stream, and second spellings.
_MORE_MEDIA = """
    2bit 3dm 3ds 3dxml 3mf a aa aax abc abr abw ace aco adf ado adoc aep ai aiff alac aln ape
    app appimage arff arj arw asciidoc ase ass asx at avro awk azw3 bai bak bam bas bash bat bcf
    bcif bed bgen bgz bif bigbed bigwig bil bin bip bk blend bp bsq bufr bvh bw bz c c4d caf
    catpart cbr cbz cc ccp4 cdf cdr cdx cdxj cel cfg chain chm cif class clip cls cmake cmd
    coffee conda conf config cpg cpp cr3 crai cram crate crl cs csi csl csr css3 cube cue cur
    cxx czi dart dat data db db3 dbf def deflate dem desktop dff dict dif divx dmp dot drawio
    dsf dt2 dta dtd duckdb dump e57 egg el elc elf embl emz enc ent env erl err ex exe exr exs f
    f4m f90 fa faa fai fam fast5 fasta fastq fb2 fbx fchk feather ffn fit fla flatpak fna fodg
    fods fodt for fq fsh fts g4 gb gbff gbk gdb gem geojsonl geotiff gff gff3 ggb gguf gho gjf
    gml gnumeric go gpg gpl gradle graphml grb grb2 grib grib2 gro groovy gtf gv gvcf gzi h h265
    h5ad hcl hdf hdf4 hdr hdt hevc hex hgt hh hl7 hmm hpp hs htm html5 hwp hx iam ical icc icns
    idat idml idx ifc igc iges igs img imzml inc inchi indd inf ini ino ipa ipt iqy it itk itp
    ivf iwa j2c j2k jfif jgw jks jl jnlp jpe jpeg jpf json5 jsonc jsonld jsx jt jxr kar kdbx
    keras key kra kt kts las lasso laz less lha lib lif list lng lock log loom lrc lrz lst lua
    lzh lzo m m2ts m2v m3 m4 m4b m4p m4r ma maff map mat max mb mbtiles md5 mdb mdown mdx med
    meta4 metalink mgf mht mhtml mib mjs mk mkd ml mm mmdb mmtf mo mod mol mol2 mp2 mpa mpc mpd
    mpe mpeg mpp mps mrxs msgpack mtl mts mtx mtz mxf mxl mzml mzxml nb nb2 ncx nd2 ndpi nes nex
    nexus nfo nii nim nitf nmea npy npz nrrd nsf numbers nupkg nut nwk nzb o5m oa obo odb odf
    oga ogm ogx one onnx opf opml orc orf org osc osm ots ott out ova ovf owl oxps p12 p7b p7c
    p7m p7s pages pak pam part pbf pcapng pcd pcl pct pdbqt ped pfb pfx pgen pgn pgp pgw phar
    phy pickle pict pkg pkl plist plt ply pm po pod5 por pot potm potx ppam pps ppsm pqr prj prn
    pro proto prproj prt ps1 psam psb psd1 psl psm1 pst pt pth pub puml pvar pyc pyi pyw qbo
    qcow2 qgs qgz qif qix qmd qml qpf qpx qt qxd qxp r ra raf ram raw rb rda rdata rds reg rej
    rels rest rm rmd rmi rmvb rnc rng roa roff rom rs rss2 rtx run rw2 rxn s s3m sam sas
    sas7bdat sass sat sav sbk sbn sbv sbx scala schema scn scss sda sdc sdd sed ser sf2 sf3 sff
    sfs sfz sgf sgm sgml sh sha sha1 sha256 sha512 shar shn shp shx sig sigs sit sitx sketch
    sldasm sldprt slk smi smil snap so sol spc spec spss spx sqlite3 squashfs sra srf srl srx
    ssa st star step stk sto stx sty styl sub sum svelte svgz svs swift sxc sxi sxw sylk sz tab
    tbi tbn tbz tbz2 tcl tcx tdf texi textile tf tfrecord tfstate tfw tgz thmx tiff tm tmpl toc
    topojson tpl tr tre tree trr tsx tt tta txt txz tzst uof uop uot url usda usdc usdz usx utf8
    v vb vbox vcd vdi veg vert vgm vhd vhdx vmdk vob voc vox vpk vrml vro vrt vsdx vsi vsix vss
    vtk vtp vtu vue wacz wadl war wat wax webloc wet wfn whl wiff wig wiki wit wk1 wks wld wml
    wpd wpl wps wpt wq1 wri wrl wsdl wv wvx x3d xapk xar xbrl xdf xht xlam xlb xlc xlf xliff xlt
    xltm xlw xm xmf xmi xmind xmp xpi xps xq xsd xslt xspf xtc xul xwd xyz y4m yml zarr zig zim
    zipx zoo zpl
"""
_MEDIA = frozenset(
    (*_EXTENSION_OF_TYPE.values(), *_EXTENSION_OF_SUFFIX.values(), *_MORE_MEDIA.split())
)
# Of programs on a server: what they answer with may be anything.
_PROGRAMS = """
    action adp ashx asmx asp aspx axd cfc cfm cfml cgi cshtml dll do fcgi fpl jhtml jsf jsp jspa
    jspx mvc nsp php php3 php4 php5 php7 php8 phtml phtm psp rhtml servlet shtm shtml stm svc wcgi
    woa wsgi xhtm xsp yaws
"""
_SCRIPTS = frozenset(_PROGRAMS.split())

# What is packed or vouched for has its medium before that: `E_1.fastq.gz`, `x.tar.xz.asc`.
_OUTER = (
    "(?:7z|age|asc|bgz|br|bz|bz2|crai|csi|deflate|gpg|gz|gzi|lrz|lz|lz4|lzma|lzo|md5|minisig|pgp"
    "|sha1|sha256|sha512|sig|snappy|sz|tbi|xz|z|zip|zlib|zst|zstd)"
)
_SHORT = "(?=[0-9]*[a-z])[a-z0-9]{1,8}"
_EXTENSION = re.compile(
    rf"\.((?:{_SHORT}\.)?{_OUTER}(?:\.{_OUTER}){{0,2}}|tar\.{_SHORT}|{_SHORT})\Z",
    re.IGNORECASE | re.ASCII,
)
MAX_EXTENSION = 8 + 3 * (1 + 7)
"""Longest extension that `split_extension` finds, in characters, the dots between included."""


def split_extension(name: str) -> tuple[str, str | None]:
    """Return *name* without its extension, and that in lower case without its dot, or None.

    A double one stays whole: what is packed or signed, behind any short extension (`fastq.gz`,
    `csv.zip`, `tar.gz.asc`), and whatever follows `tar`. An extension has a letter: not `v1.2`.
    """
    match = _EXTENSION.search(name, max(0, len(name) - MAX_EXTENSION - 1))
    if match is None:
        return name, None
    return name[: match.start()], match[1].lower()


def extension_of(content_type: str | None) -> str | None:
    """Return the extension for a Content-Type header's value; None where that tells nothing."""
    media_type = _media_type(content_type)
    return _known(media_type) or ("txt" if media_type.startswith("text/") else None)


def is_medium(extension: str) -> bool:
    """Tell whether *extension* (lower case, perhaps double) says what is in a file."""
    return extension.rpartition(".")[2] in _MEDIA


def is_script(extension: str) -> bool:
    """Tell whether *extension* (lower case) is that of a program on a server."""
    return extension in _SCRIPTS


@lru_cache(maxsize=256)  # hosts have few kinds of files
def answers_for(extension: str, content_type: str | None) -> str | None:
    """Return the extension that takes the place of *extension* in a URL, by what the server says.

    None = it stays: it names a medium itself, or the type says no more. What no table here has
    (`.foo`) may be a medium all the same, and servers call what they don't know text/plain.
    """
    if is_medium(extension):
        return None
    if is_script(extension):
        return extension_of(content_type)
    return _known(_media_type(content_type))


def _media_type(content_type: str | None) -> str:
    # Twice the same field makes a list of it, on somebody's way.
    return (content_type or "").partition(";")[0].partition(",")[0].strip().lower()


def _known(media_type: str) -> str | None:
    known = _EXTENSION_OF_TYPE.get(media_type)
    if known is not None:
        return known
    _, plus, suffix = media_type.rpartition("+")
    return _EXTENSION_OF_SUFFIX.get(suffix) if plus else None
