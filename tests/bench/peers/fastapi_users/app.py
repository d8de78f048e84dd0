"""fastapi-users as its documentation sets it up: JWTs, users in PostgreSQL by SQLAlchemy and asyncpg, one worker.

`python app.py` with POSTGRES_URL, PORT, JWT_SECRET, EMAIL and PASSWORD in its environment. When it can be asked it
prints one line of JSON: an access token of the user that it made.
"""
# mypy: ignore-errors
# It runs on packages of its own, which are not installed where types are checked.

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SETTINGS = os.environ  # noqa: TID251 - not a component of the platform
ACCESS_SECONDS = 3600


class Base(DeclarativeBase):
    """The tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """Whoever can sign in."""


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """Creates users and finds them."""


engine = create_async_engine(SETTINGS["POSTGRES_URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def a_session() -> AsyncIterator[AsyncSession]:
    """One for each request."""
    async with sessions() as session:
        yield session


async def a_database(session: Annotated[AsyncSession, Depends(a_session)]) -> AsyncIterator[SQLAlchemyUserDatabase]:
    """The users."""
    yield SQLAlchemyUserDatabase(session, User)


async def a_manager(database: Annotated[SQLAlchemyUserDatabase, Depends(a_database)]) -> AsyncIterator[Manager]:
    """Who looks them up."""
    yield Manager(database)


def strategy() -> JWTStrategy:
    """How tokens are made and read."""
    return JWTStrategy(secret=SETTINGS["JWT_SECRET"], lifetime_seconds=ACCESS_SECONDS)


backend = AuthenticationBackend("jwt", BearerTransport(tokenUrl="auth/login"), strategy)
users = FastAPIUsers[User, uuid.UUID](a_manager, [backend])


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Makes the table and one user."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        wanted = schemas.BaseUserCreate(email=SETTINGS["EMAIL"], password=SETTINGS["PASSWORD"])
        user = await Manager(SQLAlchemyUserDatabase(session, User)).create(wanted)
    print(json.dumps({"access_token": await strategy().write_token(user)}), flush=True)  # noqa: T201 - who starts it waits
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(users.get_auth_router(backend), prefix="/auth")
app.include_router(users.get_users_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserUpdate), prefix="/users")

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(SETTINGS["PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
