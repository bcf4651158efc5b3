"""Stands in for outside services over real HTTP; never in the production image.

A service is a module with `build_service()`, named in `world.BUILDERS`: its routes, the faults
only it knows, and the shape of its errors. Log, ordered faults and HTTP come with the server,
which is http.server because faults need control of the socket.
"""
